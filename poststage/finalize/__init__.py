"""The finalizer: scan → observe → plan → apply → report. See docs/finalize-protocol.md."""

from poststage.finalize.options import Options, options_of
from poststage.finalize.report import Report
from poststage.finalize.run import finalize_dir

__all__ = ["Options", "Report", "finalize_dir", "options_of"]
