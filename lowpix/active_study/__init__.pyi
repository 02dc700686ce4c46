from .options import Options as Options
from .study import active_study as active_study
