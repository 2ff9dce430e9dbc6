"""Image files and arrays: NIfTI, label maps, stacks and planes, with orientation and spacing."""
