from .options import Options as Options
from .study import dataset_study as dataset_study
