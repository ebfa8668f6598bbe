"""Where weights come from: named, downloaded, verified, converted, cached.

`resolve` turns a name or path into a `Model`; `openvino_export` gives its int8 form. Importing
this package loads none of the heavy libraries, and conversions run in processes of their own.
"""

from ucoder.models.artifacts import openvino_export
from ucoder.models.cache import default_cache_dir
from ucoder.models.catalog import Catalog, CatalogEntry, load_catalog
from ucoder.models.checkpoint import Model, Origin
from ucoder.models.resolve import resolve

__all__ = [
    "Catalog",
    "CatalogEntry",
    "Model",
    "Origin",
    "default_cache_dir",
    "load_catalog",
    "openvino_export",
    "resolve",
]
