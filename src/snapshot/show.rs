//! How much of requests a snapshot tells.

use std::sync::Arc;

use super::{Snapshot, Task, Work};

/// What of a request is shown. Paths and addresses may be of one person: they are nothing to be kept
/// or sent unasked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Show {
    /// Its route.
    #[default]
    Route,
    /// Its path as well, without the query.
    Path,
    /// The address of the client, too.
    All,
}

impl Task {
    /// Leaves out what is not to be shown.
    pub(crate) fn show(&mut self, show: Show) {
        let hides = |work: &Work| {
            let path = show < Show::Path && work.path.is_some();
            path || show < Show::All && work.client.is_some()
        };
        let hide = |work: &mut Arc<Work>| {
            if hides(work) {
                let work = Arc::make_mut(work);
                work.path = work.path.take().filter(|_| show >= Show::Path);
                work.client = None;
            }
        };
        self.work.iter_mut().chain(&mut self.call).for_each(hide);
        if let Some(context) = &mut self.context
            && context.started_by.as_deref().is_some_and(hides)
        {
            Arc::make_mut(context).started_by.as_mut().into_iter().for_each(hide);
        }
    }
}

impl Snapshot {
    /// The same with no more of requests than is to be shown.
    #[must_use]
    pub fn showing(mut self, show: Show) -> Self {
        self.tasks.iter_mut().for_each(|task| task.show(show));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Context;

    #[test]
    fn no_more_of_a_request_is_shown_than_was_asked_for() {
        let work = Work {
            name: "/orders/{id}".into(),
            path: Some("/orders/7".into()),
            client: Some("10.0.0.7:51123".into()),
            ..Work::default()
        };
        let shown = |show| {
            let [asked, call] = [(); 2].map(|()| Some(Arc::new(work.clone())));
            let context = Context { started_by: asked.clone(), ..Context::default() };
            let context = Some(Arc::new(context));
            let mut task = Task { work: asked, call, context, ..Task::default() };
            task.show(show);
            let started_by = task.context.unwrap().started_by.clone();
            let of = [task.work, task.call, started_by].map(|it| serde_json::to_value(it).unwrap());
            let has = |field: &str| of.each_ref().map(|it| it.get(field).is_some());
            assert_eq!(has("name"), [true; 3]);
            (has("path"), has("client"))
        };
        let (yes, no) = ([true; 3], [false; 3]);
        assert_eq!(shown(Show::Route), (no, no));
        assert_eq!(shown(Show::Path), (yes, no));
        assert_eq!(shown(Show::All), (yes, yes));
    }
}
