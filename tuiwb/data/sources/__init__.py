"""The files themselves: where each record begins, and one record at a time.

Every source finds its records once (byte offsets, never the content), then opens any of them
without reading the rest. A record that can't be decoded is an entry with a problem.
"""

from tuiwb.data.sources.entry import Entry, decode
from tuiwb.data.sources.file import Changed
from tuiwb.data.sources.opening import open_source
from tuiwb.data.sources.places import files_of
from tuiwb.data.sources.records import Source

__all__ = ["Changed", "Entry", "Source", "decode", "files_of", "open_source"]
