"""Deprecated: use :mod:`metta.cogworks.curriculum`. :mod:`agora.wrappers.puffer` needs
pufferlib."""
