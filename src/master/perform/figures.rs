//! What of the master's notes is counted, for the metrics.

use crate::contract::figures::Figure;
use crate::master::event::{KillReason, MoldNote, Note};

/// What a note adds to, if to anything.
pub(super) fn of(note: &Note) -> Option<Figure> {
    match note {
        Note::Crashed { .. } => Some(Figure::Crashes),
        Note::Killed { reason: KillReason::Overdue | KillReason::BootOverdue, .. } => Some(Figure::Kills),
        Note::BootFailed { .. } | Note::Mold { note: MoldNote::Failed(_), .. } => Some(Figure::BootFailures),
        Note::ReloadDone { .. } => Some(Figure::ReloadsDone),
        Note::ReloadFailed { .. } => Some(Figure::ReloadsFailed),
        Note::ReloadStopped { .. } => Some(Figure::ReloadsStopped),
        Note::Adapted { workers, before, .. } if workers > before => Some(Figure::Grown),
        Note::Adapted { .. } => Some(Figure::Shrunk),
        Note::Killed { reason: KillReason::NotNeeded, .. }
        | Note::Ready(_)
        | Note::AllReady { .. }
        | Note::Left(_)
        | Note::Retires { .. }
        | Note::Recycled { .. }
        | Note::StillThere(_)
        | Note::RecyclingWaits(_)
        | Note::CodeStarts
        | Note::Mold { note: MoldNote::Ready | MoldNote::Ended(_) | MoldNote::Stuck, .. }
        | Note::NobodyServes
        | Note::ReloadPostponed
        | Note::ReloadStarted { .. }
        | Note::Canary(_)
        | Note::Scaled { .. }
        | Note::NotScaled { .. }
        | Note::Announced(_)
        | Note::Stopping(_)
        | Note::LogsNotReopened(_)
        | Note::AdminNotStarted(_)
        | Note::AdminEnded(_)
        | Note::ControlSocketGone
        | Note::StandsStill(_)
        | Note::Upgrade(_) => None,
    }
}
