from .options import Options as Options
from .project import Project as Project
from .project import annotate as annotate
