"""Where weights come from: named, downloaded, verified, converted, cached.

`resolve` turns a name or path into a `Model`; `openvino_export` gives its int8 form. Importing
this package loads none of the heavy libraries, and conversions never load them into the caller.
"""

from ucoder.models.cache import default_cache_dir
from ucoder.models.catalog import Catalog, CatalogEntry, load_catalog
from ucoder.models.checkpoint import Model, Origin
from ucoder.models.resolve import openvino_export, resolve

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
