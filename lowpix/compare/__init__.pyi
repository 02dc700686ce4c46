from .comparison import Comparison as Comparison
from .comparison import compare_settings as compare_settings
from .options import Options as Options
from .study import compare as compare
