//! Times as people write them.

use std::time::Duration;

/// A time above zero: `100ms`, `10s`, `1m 30s`; a bare number is seconds.
pub fn time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|it| Duration::try_from_secs_f64(it).ok());
    let friendly = || Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok();
    match seconds.or_else(friendly) {
        Some(time) if !time.is_zero() => Ok(time),
        _ => Err("expected a time, such as 100ms, 10s or 5m".to_owned()),
    }
}
