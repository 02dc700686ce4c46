from .options import Options as Options
from .study import order_study as order_study
