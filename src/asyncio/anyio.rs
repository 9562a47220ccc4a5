//! Who has a lock of anyio's.

use super::FutureState;
use crate::memory::Address;
use crate::python::object::{Kind, Reader};

/// Who has a lock that names its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Nobody.
    Nobody,
    /// This task.
    Task(Address),
    /// One that has ended, or cannot be read.
    Unknown,
}

impl Reader<'_> {
    /// Who has a lock of anyio's: whoever gives it back makes the next in line its owner at once.
    pub fn anyio_owner(&self, lock: Address) -> Owner {
        let Ok(owner) = self.attribute(lock, "_owner_task") else { return Owner::Unknown };
        // Up to 4.4 the attribute is deleted, and `None` is one of the class.
        let Some(owner) = owner.filter(|&at| !self.is_kind(at, Kind::None)) else {
            return Owner::Nobody;
        };
        let task = if self.kind_of(owner).is_ok_and(Kind::is_task) {
            Some(owner)
        } else {
            self.task_of_info(owner)
        };
        let is_pending = |at: &Address| self.future_state(*at) == Ok(Some(FutureState::Pending));
        task.filter(is_pending).map_or(Owner::Unknown, Owner::Task)
    }

    /// The task of a `TaskInfo`, which owners are up to 4.4.
    ///
    /// Its `id` is the address of a task that may have gone, so that another one is there; the
    /// coroutine, to which it refers, can't be another's.
    fn task_of_info(&self, info: Address) -> Option<Address> {
        let [id, coroutine] = self.attributes_named(info, ["id", "coro"]).ok()?;
        let at = Address(u64::try_from(self.int(id?).ok()?).ok()?);
        let is_task = self.kind_of(at).is_ok_and(Kind::is_task);
        (is_task && self.coroutine_of(at) == Some(coroutine?)).then_some(at)
    }
}
