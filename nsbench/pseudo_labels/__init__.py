"""From a teacher and unlabeled images to the images and targets that a student trains on."""
