//! Keeps the number of the plan that was accepted last, and refuses what must not follow it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{error, info, warn};

use crate::durable;
use crate::metrics::Metrics;
use crate::snapshot::{Accepted, Loaded, PlanCandidate, Size, follow, succeed};

/// Longest file that is ours.
const LENGTH_MAX: u64 = 4_096;

/// `plan.json` in the state folder.
pub(super) struct Plans {
    path: PathBuf,
    metrics: Arc<Metrics>,
    accepted: Option<Accepted>,
}

impl Plans {
    /// What was accepted before a restart, and what the configuration of the start is to it. An
    /// older one is served, since nothing else can be; that is an error in the log and a metric.
    pub(super) async fn open(state: &Path, loaded: &Loaded, metrics: Arc<Metrics>) -> Self {
        let path = state.join("plan.json");
        let accepted = match durable::read(&path, LENGTH_MAX) {
            Ok(None) => None,
            Ok(Some(json)) => match Accepted::from_json(&json) {
                Ok(accepted) => Some(accepted),
                Err(error) => {
                    let file = path.display();
                    error!(%file, error, "the number of the last plan is damaged; any is taken");
                    None
                }
            },
            Err(error) => {
                error!(file = %path.display(), %error, "the number of the last plan is not known");
                None
            }
        };
        let mut plans = Self { path, metrics, accepted };
        let size = Size::of(loaded);
        match follow(plans.accepted.as_ref(), candidate(loaded, &size)) {
            Ok(warning) => {
                if let Some(warning) = warning {
                    warn!("{warning}");
                }
                plans.accept(loaded).await;
            }
            Err(why) => {
                plans.metrics.plan_behind.set(1);
                error!("an older plan is served, as there is no other: {why}");
            }
        }
        plans
    }

    /// Whether `next` may be served after `served`; the reason why not is logged and counted.
    pub(super) fn admits(&self, served: &Loaded, next: &Loaded) -> bool {
        let size = Size::of(next);
        match succeed(self.accepted.as_ref(), &Size::of(served), candidate(next, &size)) {
            Ok(warning) => {
                if let Some(warning) = warning {
                    warn!("{warning}");
                }
                true
            }
            Err(why) => {
                self.metrics.plan_refusals.inc();
                error!("plan refused: {why}");
                false
            }
        }
    }

    /// Notes that a plan is served now. When that cannot be kept, a restart would take an older
    /// one; it is told, and serving goes on.
    pub(super) async fn accept(&mut self, loaded: &Loaded) {
        self.metrics.plan_behind.set(0);
        let Some(mark) = loaded.model.fleet.plan else { return };
        let accepted = Accepted::new(mark.number, loaded.fingerprint);
        if self.accepted.as_ref() == Some(&accepted) {
            return;
        }
        info!(plan = %mark.number, "plan accepted");
        let (path, json) = (self.path.clone(), accepted.to_json());
        self.accepted = Some(accepted);
        let write =
            move || json.and_then(|json| durable::replace(&path, &json).map_err(|e| e.to_string()));
        let written = tokio::task::spawn_blocking(write).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(error.to_string())) {
            self.metrics.state_failures.inc();
            warn!(error, file = %self.path.display(), "cannot save the number of the plan");
        }
    }
}

fn candidate<'a>(loaded: &Loaded, size: &'a Size) -> PlanCandidate<'a> {
    PlanCandidate { mark: loaded.model.fleet.plan, fingerprint: loaded.fingerprint, size }
}
