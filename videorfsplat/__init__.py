"""VideoRFSplat: a sentence becomes eight views, their cameras and a 3D Gaussian scene."""

__version__ = "0.1.0"
