"""What all studies share: folders, settings, work, options, label maps, intervals and plots."""
