"""A process with a journal in a directory: it runs the courses that it reads, and prints its incidents after each.

`python -m tests.support.journal_process DIRECTORY` reads lines from standard input: a course of probes (symbols of
`tests.support.journals.run`), `limit BYTES` (of the files that it may write), `unlimited`, or `saved` (waits until the
changes are on disk).
"""

from __future__ import annotations

import json
import logging
import resource
import sys
from pathlib import Path

from monitor.reporting import incident_json, journal_writer
from monitor.reporting.journal_writer import JournalWriter
from tests.support.journals import JournalTime, journal_of, run
from tests.support.process import wait_for


def main(directory: Path) -> None:
    """Run until the end of standard input, then close the journal."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s %(monitor_fields)s")
    journal_writer.RETRY_INTERVAL = 0.0  # the clock advances with the probes only
    time = JournalTime("prod")
    journal = journal_of(time, "prod", is_loaded=False)
    writer = JournalWriter(journal, directory, time.clock)
    writer.start()
    wait_for(lambda: journal.is_loaded, "the journal is loaded")
    for line in sys.stdin:
        match line.split():
            case ["limit", size]:
                resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
            case ["unlimited"]:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            case ["saved"]:
                wait_for(lambda: _is_saved(writer), "the journal is saved")
            case ["problem"]:
                wait_for(lambda: bool(writer.problem), "the journal has a problem")
            case [symbols]:
                run(journal, time, symbols)
        incidents = {each.number: incident_json.encode(each) for each in journal.recent(100)}
        sys.stdout.write(json.dumps({"incidents": incidents, "problem": writer.problem}) + "\n")
        sys.stdout.flush()
    writer.close()


def _is_saved(writer: JournalWriter) -> bool:
    writer._wake()
    return not writer.problem and not writer._journal._unsaved and writer._database is not None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
