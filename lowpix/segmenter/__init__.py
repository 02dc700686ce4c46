"""The data-set network: architectures, minibatches, augmentation, training and evaluation."""
