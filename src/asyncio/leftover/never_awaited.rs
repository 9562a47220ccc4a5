//! Coroutines that were made and never started.

use rustc_hash::FxHashSet;

use super::{MAX_FOUND, Owned, Search, Slot};
use crate::memory::Address;
use crate::python::frame::Progress;
use crate::python::object::Kind;
use crate::snapshot::NeverAwaited;

impl Search<'_> {
    /// Coroutines that only a variable refers to which its function does not read any more.
    pub(super) fn never_awaited(&self) -> Vec<NeverAwaited> {
        let reader = self.reader;
        let of_tasks: FxHashSet<Address> =
            self.remains.tasks.iter().filter_map(|task| task.coro).collect();
        let mut found = Vec::new();
        let coroutines = self.slots.iter().filter(|slot| {
            self.kinds.get(&slot.value) == Some(&Kind::Coroutine) && !of_tasks.contains(&slot.value)
        });
        for slot in coroutines {
            if found.len() >= MAX_FOUND {
                break;
            }
            // Somebody else who has it may still start it.
            if reader.references(slot.value) == Some(1)
                && let Some(owned) = self.frames.get(slot.frame)
                && reader.reads_variable(owned.frame, slot.index) == Some(false)
            {
                found.extend(self.unstarted(slot, owned));
            }
        }
        found
    }

    fn unstarted(&self, slot: &Slot, owned: &Owned<'_>) -> Option<NeverAwaited> {
        let reader = self.reader;
        let coroutine = reader.generator(slot.value).ok()?;
        if coroutine.progress != Progress::Created {
            return None;
        }
        let frame = owned.frame;
        let code = reader.code(frame.code).ok()?;
        let (variable, _) = reader.local_names(&code).get(slot.index)?;
        let name = reader.generator_name(slot.value)?;
        let own = coroutine.frame?;
        let place = reader.site(own.code, -1, own.qualname).ok().map(|site| site.location);
        Some(NeverAwaited {
            id: slot.value,
            coroutine: name,
            place,
            variable: variable.to_string(),
            frame: reader.site(frame.code, frame.lasti, frame.qualname).ok()?.location,
            task: owned.task,
            thread: owned.thread,
        })
    }
}
