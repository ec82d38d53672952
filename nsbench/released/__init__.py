"""ImageNet-C and ImageNet-P as files, in the layouts that they were released in."""
