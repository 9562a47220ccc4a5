//! Libraries' pools of connections: what is out, and who waits.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::known::pool::{Line, Out, Pool, Way};
use crate::memory::Address;
use crate::python::object::{Kind, MAX_ITEMS, Reader};

/// A pool with those that wait for its connections.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionPool {
    /// Its limits: that of all connections, and those on connections to one host.
    pub limits: Vec<ConnectionLimit>,
    /// Who waits, by what tells them apart: at which limit, and the place in its line from 1.
    pub places: FxHashMap<Address, (usize, u64)>,
}

/// How many connections may be out, and those that are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionLimit {
    /// What it is the limit of: the pool, or its collection for one host.
    pub at: Address,
    /// How many may be out.
    pub size: u64,
    /// How many are out, as far as that can be told.
    pub out: Option<u64>,
    /// The items of those that are out, and of more requests on the same connections.
    pub items: Vec<Address>,
    /// The items of those that nobody can give back.
    pub lost: Vec<Address>,
    /// How many wait.
    pub waiters: u64,
}

/// A host and port that connections lead to, and whether they are encrypted.
type Host = (Arc<str>, Option<i64>, bool);

impl Reader<'_> {
    /// The pool at which a function waits, with all that wait there.
    pub(crate) fn connection_pool(&self, pool: &Pool, at: Address) -> Option<ConnectionPool> {
        let mut facts = ConnectionPool::default();
        let size = self.sum(at, pool.size)?;
        let size = if size.contains(&-1) { 0 } else { size.iter().sum() };
        let size = u64::try_from(size).ok()?;
        let mut all = ConnectionLimit { at, size, ..ConnectionLimit::default() };
        let waiting = match pool.out {
            Out::Counted { plus, minus, .. } => {
                let out = self.sum(at, plus)?.iter().sum::<i64>() - self.length(at, minus)?;
                all.out = u64::try_from(out).ok();
                Vec::new()
            }
            Out::Items { items, is_out, connections } => {
                let items = self.items_of(self.attribute(at, items).ok()??).ok()?;
                self.items_out(at, items, is_out, connections, &mut all)?
            }
        };
        all.lost = all.items.iter().copied().filter(|item| self.is_lost(pool, *item)).collect();
        match pool.line {
            Line::Items => facts.wait_in(&mut all, 0, waiting),
            Line::Objects(name, served) => {
                let waiting = self.items_of(self.attribute(at, name).ok()??).ok()?;
                let is_served = |at: &Address| {
                    served.iter().any(|name| self.set_attribute(*at, name).flatten().is_some())
                };
                let waiting = waiting.into_iter().filter(|at| !is_served(at)).collect();
                facts.wait_in(&mut all, 0, waiting);
            }
            Line::Futures(way) => {
                let (last, way) = way.split_last()?;
                let owner = way.iter().try_fold(at, |at, name| self.attribute(at, name).ok()?)?;
                facts.wait_in(&mut all, 0, self.waiters_of(owner, last).ok()?);
            }
            Line::ByKey(futures) => self.wait_by_key(pool, at, futures, &mut all, &mut facts)?,
        }
        facts.limits.insert(0, all);
        Some(facts)
    }

    /// Notes which items are out; gives the others.
    fn items_out(
        &self,
        at: Address,
        items: Vec<Address>,
        is_out: Option<&str>,
        connections: &[&str],
        all: &mut ConnectionLimit,
    ) -> Option<Vec<Address>> {
        let Some(name) = is_out else {
            all.out = Some(items.len() as u64);
            all.items = items;
            return Some(Vec::new());
        };
        let mut waiting = Vec::new();
        let mut out = FxHashSet::default();
        for item in items {
            match self.set_attribute(item, name)? {
                Some(connection) => {
                    all.items.push(item);
                    out.insert(connection);
                }
                None => waiting.push(item),
            }
        }
        all.out = Some(all.items.len() as u64);
        if !connections.is_empty() {
            let of_pool = connections.iter().find_map(|name| self.attribute(at, name).ok()?)?;
            let of_pool = self.items_of(of_pool).ok()?;
            let is_out = of_pool.iter().filter(|connection| out.contains(*connection));
            all.out = Some(is_out.count() as u64);
        }
        Some(waiting)
    }

    /// An attribute that is there and not `None`.
    #[expect(clippy::option_option, reason = "it may be unreadable, or not be set")]
    fn set_attribute(&self, at: Address, name: &str) -> Option<Option<Address>> {
        let value = self.attribute(at, name).ok()?;
        Some(value.filter(|value| !self.is_kind(*value, Kind::None)))
    }

    /// The numbers that several ways lead to.
    fn sum(&self, at: Address, ways: &[Way]) -> Option<Vec<i64>> {
        ways.iter().map(|way| self.length(at, way)).collect()
    }

    /// The number or the length of the collection that a way leads to.
    fn length(&self, at: Address, way: Way) -> Option<i64> {
        let end = way.iter().try_fold(at, |at, name| self.attribute(at, name).ok()?)?;
        match self.kind_of(end).ok()? {
            Kind::Int => self.int(end).ok(),
            _ => i64::try_from(self.len_of(end)?).ok(),
        }
    }

    fn is_lost(&self, pool: &Pool, item: Address) -> bool {
        let Some(lost) = &pool.lost else { return false };
        let of = match lost.of {
            None => Some(item),
            Some(name) => self.attribute(item, name).ok().flatten(),
        };
        of.filter(|at| !self.is_kind(*at, Kind::None)).and_then(|at| self.references(at))
            == Some(lost.references)
    }

    /// Those that wait for connections to one host or another: at the limit of all where that is
    /// reached, else at that of the host.
    fn wait_by_key(
        &self,
        pool: &Pool,
        at: Address,
        futures: &str,
        all: &mut ConnectionLimit,
        facts: &mut ConnectionPool,
    ) -> Option<()> {
        let by_key = |name| self.dict(self.attribute(at, name).ok()??, MAX_ITEMS).ok();
        let lines = by_key(futures)?;
        let is_full = all.size > 0 && all.out.is_some_and(|out| out >= all.size);
        let hosts = match pool.per_host {
            Some([size, items]) if !is_full => {
                let size = u64::try_from(self.number(at, size)?).ok()?;
                Some((size, by_key(items)?))
            }
            _ => None,
        };
        for (key, line) in lines {
            let line = self.items_of(line).ok()?;
            let Some((size, hosts)) = &hosts else {
                facts.wait_in(all, 0, line);
                continue;
            };
            let host = self.host(key)?;
            let mut same = hosts.iter().filter(|(key, _)| self.host(*key).as_ref() == Some(&host));
            // Two keys of one host differ in more than that.
            let (Some((_, items)), None) = (same.next(), same.next()) else { continue };
            let items_at = *items;
            let items = self.items_of(items_at).ok()?;
            let out = Some(items.len() as u64);
            let mut limit = ConnectionLimit {
                at: items_at,
                size: *size,
                out,
                items,
                ..ConnectionLimit::default()
            };
            let number = facts.limits.len() + 1;
            facts.wait_in(&mut limit, number, line);
            facts.limits.push(limit);
        }
        Some(())
    }

    /// Where connections with this key lead to: a tuple, or an object with these attributes.
    fn host(&self, key: Address) -> Option<Host> {
        let [host, port, is_encrypted] = if self.is_kind(key, Kind::Tuple) {
            *self.tuple(key).ok()?.first_chunk::<3>()?
        } else {
            let [host, port, is_ssl] =
                self.attributes_named(key, ["host", "port", "is_ssl"]).ok()?;
            [host?, port?, is_ssl?]
        };
        let port = self.is_kind(port, Kind::Int).then(|| self.int(port).ok()).flatten();
        Some((self.name(host).ok()?, port, self.int(is_encrypted).ok()? != 0))
    }
}

impl ConnectionPool {
    fn wait_in(&mut self, limit: &mut ConnectionLimit, number: usize, line: Vec<Address>) {
        for waiter in line {
            limit.waiters += 1;
            self.places.insert(waiter, (number, limit.waiters));
        }
    }
}
