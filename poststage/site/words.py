"""What each setting means, and why its default is what it is. Nothing but words."""

from typing import NamedTuple


class Words(NamedTuple):
    """One setting in words."""

    meaning: str
    why: str
    """The reason for the default."""


SECTIONS = {
    "site": "who we are, and which backends may be loaded",
    "agent": "what is said of a job's transfers when they are recorded",
    "finalize": "how files are published",
    "scheduler": "who runs finalize after a job, and when it kills it",
    "log": "one line an event, for admins",
    "report": "the site's own program for each report",
}

WORDS: dict[str, Words] = {
    "site.name": Words("For messages.", "what is packaged serves the emulator"),
    "site.backend": Words(
        "The backend that agents use unless they are told otherwise.",
        "works on any machine",
    ),
    "site.allowed_backends": Words(
        "No other backend is ever loaded, whatever a state file names.",
        "both are ours and harmless",
    ),
    "site.state_root": Words(
        "Directory (mode 1777, root's, seen by compute nodes and the post-stage node) where agents "
        "register their STATEDIRs, so that `finalize` finds them without `--dir`. Empty: nowhere.",
        "a site has to make it first",
    ),
    "agent.ends_with_job": Words(
        "Cancel what still runs when its job is gone, unless a transfer says otherwise.",
        "a burst buffer is there to go on when the job has ended",
    ),
    "finalize.publish": Words(
        "`file`: each file as it is ready. `dataset`: nothing of a dataset until all of it is.",
        "what has arrived is of use at once, and a reader of half a dataset looks at the report",
    ),
    "finalize.deadline_s": Words(
        "Seconds that a run may take, waiting for transfers included; what is left then is 75.",
        "an hour is below the stage-out timeouts that sites use",
    ),
    "finalize.jobs": Words(
        "How many work at once: processes, or threads where a call waits for a server; 0 chooses.",
        "below a thousand state files a process of its own costs more than it saves",
    ),
    "finalize.trusted_state_dirs": Words(
        "STATEDIRs where root restores other owners, beside those that only root can write.",
        "a state file is a user's word, and root believes none",
    ),
    "finalize.delete_incomplete": Words(
        "Also delete what AXL wrote under its final name (SCR's way) and left shorter than "
        "recorded. Partial temp files always are.",
        "a final name may have become somebody else's; a report harms nobody",
    ),
    "scheduler.name": Words(
        "`none`, `slurm`, `flux`, `lsf` or `pbs`: whom `finalize --job` asks whether a job's "
        "processes are gone, and whether it goes back to the queue.",
        "by hand nobody has to be asked",
    ),
    "scheduler.timeout_s": Words(
        "Seconds after which it kills a post-stage program (Slurm: StageOutTimeout; LSF: the "
        "phase's). 0: never.",
        "unknown here; each site configuration has its scheduler's own",
    ),
    "scheduler.margin_s": Words(
        "Seconds before that in which finalize is done, at the latest.",
        "a last sync of a busy file system takes a while",
    ),
    "log.to": Words(
        "`none`, `stderr`, `syslog`, or a file's absolute path; events have the keys event, job, "
        "dataset, rank, file, verdict, errno, reason.",
        "the report is on the terminal and beside the state files anyway",
    ),
    "log.format": Words("`text` (`key=value`) or `json`, a line each.", "grep needs no tool"),
    "log.files": Words(
        "`unpublished`: an event for each file that is not published, the others counted in their "
        "dataset's. `all`: one for each published file too, when it is durable.",
        "a job of 16,384 ranks publishes 65,536 files in seconds, and syslog drops what comes so "
        "fast; with a file as the log, `all` costs a write a state file",
    ),
    "report.script": Words(
        "A program that is given the run's reports as JSON on stdin, with POSTSTAGE_JOB, "
        "POSTSTAGE_EXIT and POSTSTAGE_REASON in its environment: to mail, to count, to page. "
        "It runs as who runs finalize. Empty: none.",
        "a site has to write it first",
    ),
    "report.script_timeout_s": Words(
        "Seconds after which that program is killed.", "mail that takes longer is queued"
    ),
    "backend.emulator.root": Words(
        "The daemon's directory. Empty: POSTSTAGE_EMULATOR_ROOT, else one in /tmp for each user.",
        "nobody has to agree on a place",
    ),
    "backend.emulator.timeout_s": Words(
        "Seconds to wait for an answer.", "a busy daemon answers in less"
    ),
    "backend.bbapi.library": Words(
        "IBM's library, on compute nodes: hands over, and is asked there.", "where CAST puts it"
    ),
    "backend.bbapi.bbcmd": Words(
        "IBM's command, on launch nodes: is asked where the library does not work.",
        "where CAST puts it",
    ),
    "backend.bbapi.timeout_s": Words(
        "Seconds to wait for each `bbcmd`.", "it asks all of a job's nodes"
    ),
    "backend.datawarp.library": Words(
        "Cray's library, on compute nodes: hands over, and is asked there.", "where Cray puts it"
    ),
    "backend.datawarp.timeout_s": Words(
        "Seconds to wait for another process that changes a record.", "that takes no time"
    ),
    "backend.nnf.socket": Words(
        "The socket of HPE's nnf-dm, on compute nodes.", "where HPE's service unit puts it"
    ),
    "backend.nnf.profile": Words(
        "Rabbit's data movement profile. Empty: its default.", "the vendor's own"
    ),
    "backend.nnf.dcp_options": Words(
        "More options for the `dcp` that moves a file.", "the profile has them"
    ),
    "backend.nnf.timeout_s": Words(
        "Seconds to wait for an answer.", "a busy daemon answers in less"
    ),
    "backend.local.threads": Words(
        "Files that a node's copier copies at once.", "one alone rarely fills the network"
    ),
    "backend.local.limit_mb_s": Words(
        "MB/s that a node's copier copies at most; 0: no limit.", "the job has ended or waits"
    ),
    "backend.local.progress_mb": Words(
        "After so many MB it makes durable what it has copied; a resume begins there.",
        "a disk flushed oftener takes twice as long; some seconds' work is done again",
    ),
    "backend.local.idle_s": Words(
        "Seconds without work after which a copier ends.", "a job's next time step comes sooner"
    ),
    "backend.local.timeout_s": Words(
        "Seconds to wait for an answer.", "a busy copier answers in less"
    ),
}
