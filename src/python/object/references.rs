//! What an object refers to.

use super::keys::Storage;
use super::{Kind, MAX_ITEMS, Read, Reader};
use crate::memory::Address;

impl Reader<'_> {
    /// The objects that the one at `at` has counted references to, once for each; `None` for one of
    /// a kind that isn't known well enough.
    ///
    /// Some may be missing, such as the defaults of a function. None is given that isn't counted:
    /// who adds up references must not come to a number that is too high.
    ///
    /// # Errors
    /// When it cannot be read, or changes meanwhile.
    pub fn references_from(&self, at: Address) -> Read<Option<Vec<Address>>> {
        let class = self.class_of(at)?;
        let (small, awaitable, future) =
            (&self.layout.small, &self.layout.awaitable, &self.layout.future);
        let fields = |offsets: &[u64]| -> Read<Vec<Address>> {
            let pointers = offsets.iter().map(|offset| self.pointer(at.offset(*offset)));
            Ok(pointers.collect::<Read<Vec<_>>>()?.into_iter().flatten().collect())
        };
        let of_future = [future.callback0, future.callbacks, future.exception];
        let mut all = match class.kind {
            Kind::Tuple => self.tuple(at)?,
            Kind::List => self.list(at, MAX_ITEMS)?,
            Kind::Set | Kind::FrozenSet => self.set(at)?,
            Kind::Deque => self.deque(at, MAX_ITEMS)?,
            Kind::Dict => {
                let items = self.dict(at, MAX_ITEMS)?;
                items.into_iter().flat_map(|(key, value)| [key, value]).collect()
            }
            Kind::Cell => fields(&[small.cell_ref])?,
            Kind::Method => fields(&[small.method_func, small.method_self])?,
            Kind::Builtin => fields(&[small.builtin_self])?,
            Kind::Partial => fields(&[small.partial_fn, small.partial_args])?,
            Kind::Function => fields(&[self.layout.function.closure])?,
            Kind::FutureIter => fields(&[awaitable.future_iter])?,
            Kind::CoroutineWrapper => fields(&[awaitable.coroutine_wrapper])?,
            Kind::AsyncGeneratorAsend => fields(&[awaitable.asend])?,
            Kind::AsyncGeneratorAthrow => fields(&[awaitable.athrow])?,
            Kind::AnextAwaitable => fields(&[awaitable.anext])?,
            Kind::StepWrapper => fields(&[small.step_wrapper_task])?,
            // `wr_callback` is the next field.
            Kind::Weakref => fields(&[small.weakref_object + 8])?,
            Kind::Future => fields(&of_future)?,
            Kind::Task => {
                let task = &self.layout.task;
                [fields(&of_future)?, fields(&[task.fut_waiter, task.coro])?].concat()
            }
            Kind::Coroutine | Kind::Generator | Kind::AsyncGenerator => {
                self.references_of_generator(at)?
            }
            Kind::Other | Kind::PyFuture | Kind::PyTask | Kind::Exception if class.is_python() => {
                Vec::new()
            }
            _ => return Ok(None),
        };
        if class.is_python() {
            for offset in self.slots(&class).values() {
                all.extend(self.pointer(at.offset(*offset))?);
            }
            match self.storage(at, &class)? {
                Storage::Dict(dict) => all.push(dict),
                Storage::Shared { keys, values } => {
                    let count = self.dict_entries(keys, MAX_ITEMS)?.len() as u64;
                    let values = self.pointers(values, count)?;
                    all.extend(values.into_iter().filter_map(Address::non_null));
                }
                Storage::Empty => {}
            }
        }
        Ok(Some(all))
    }
}
