"""The run directory: tables as Parquet shards, a manifest, a journal, a lock.

    RUN/
      manifest.json      the resolved configuration, versions, model identity, commit
      journal.jsonl      when each stage ran, for how long; how each process ended
      run.log            the same for people, with messages, warnings and tracebacks
      lock               held by the one process that writes
      tables/NAME[/iteration-T]/KEY.parquet
      checkpoints/iteration-T/
      report.html

Opens as it is with DuckDB, polars or `datasets`: `SELECT * FROM 'RUN/tables/attempts/*.parquet'`.
"""

from ucoder.runs.directory import Run
from ucoder.runs.tables import Table

__all__ = ["Run", "Table"]
