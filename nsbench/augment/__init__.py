"""The paper's input noise on uint8 batches: RandAugment, flips, crops and Cutout, on any device."""
