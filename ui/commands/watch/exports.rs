//! Where figures and findings go besides the output: to Prometheus, which comes for them, and to an
//! OpenTelemetry collector, in a build with the feature `otlp`.

use aiospy::watch::News;
use aiospy::watch::sampler::Ended;

use super::figures::Shared;
use super::metrics;
#[cfg(feature = "otlp")]
use super::otlp::{self, Exporter};
use crate::commands::options::Watching;

/// Where they go, of all processes that are watched.
#[derive(Debug)]
pub struct Exports {
    /// Those that are served: there is one process then.
    served: Option<Shared>,
    #[cfg(feature = "otlp")]
    otlp: Option<Exporter>,
}

/// Where those of one process go.
#[derive(Debug)]
pub struct Export {
    figures: Option<Shared>,
    #[cfg(feature = "otlp")]
    otlp: Option<otlp::Origin>,
}

impl Exports {
    /// As the options say.
    ///
    /// # Errors
    /// When nothing can listen where they are to be served.
    pub fn open(options: &Watching) -> anyhow::Result<Self> {
        let mut served = None;
        if let Some(address) = &options.metrics {
            let figures = Shared::default();
            metrics::serve(address, figures.clone())?;
            served = Some(figures);
        }
        Ok(Self {
            served,
            #[cfg(feature = "otlp")]
            otlp: options.otlp.as_deref().map(|url| Exporter::new(url, options)).transpose()?,
        })
    }

    /// What one process needs.
    pub fn of_process(&self) -> Export {
        let figures = self.served.clone();
        #[cfg(feature = "otlp")]
        let figures = figures.or_else(|| self.otlp.is_some().then(Shared::default));
        Export {
            #[cfg(feature = "otlp")]
            otlp: self.otlp.as_ref().zip(figures.as_ref()).map(|(to, its)| to.origin(its)),
            figures,
        }
    }

    /// Sends what still waits, for a moment.
    #[cfg_attr(not(feature = "otlp"), expect(clippy::unused_self, reason = "nothing waits then"))]
    pub fn finish(&self) {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &self.otlp {
            exporter.finish();
        }
    }
}

impl Export {
    /// Takes in what is new.
    pub fn note(&mut self, news: &News<'_>) {
        if let Some(figures) = &self.figures {
            figures.lock().note(news);
        }
        #[cfg(feature = "otlp")]
        if let Some(origin) = &mut self.otlp {
            origin.note(news);
        }
    }

    /// The process is watched no longer.
    pub fn end(self, ended: Ended) {
        if let (Some(figures), Ended::Gone) = (&self.figures, ended) {
            figures.lock().gone();
        }
    }
}
