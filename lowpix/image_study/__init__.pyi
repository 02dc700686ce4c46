from .options import Options as Options
from .study import image_study as image_study
