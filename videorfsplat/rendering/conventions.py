"""The constants of splatting that every backend shares: those of gsplat 1.5.3, classic mode."""

EPS2D = 0.3
"""Added to the diagonal of every 2D covariance, pixels²: no splat is much below a pixel."""
ALPHA_THRESHOLD = 1.0 / 255.0
"""A Gaussian whose alpha at a pixel is below this is skipped there: a step of an 8-bit picture."""
# The backward pass finds the transmittance before a Gaussian by dividing by 1 - alpha, which must
# therefore stay away from 0 (Kerbl et al. 2023, appendix C, with 0.99).
MAX_ALPHA = 0.999
MIN_TRANSMITTANCE = 1e-4
"""A pixel stops before the Gaussian that would bring its transmittance to this or below; the same
appendix stops there, so that the division above stays exact."""
MAX_EXTENT = 3.33
"""Standard deviations that bound a splat: exp(-3.33² / 2) < 1 / 255, nothing visible is lost."""
FRUSTUM_MARGIN = 0.3
"""How far outside the image the Jacobian follows a mean, in half fields of view. The projection is
taken to be linear about the mean, which for one at a large angle would smear it over the image."""
