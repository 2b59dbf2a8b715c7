//! One order: from the names to the certificate, by way of the challenges.

use std::error::Error as _;
use std::fmt::Write;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeHandle, ChallengeType, Error, Identifier, NewOrder,
    Order, OrderStatus, Problem, RetryPolicy,
};
use tokio::time::sleep;

use super::challenges::{Challenge, Challenges};
use super::plan::Outcome;
use crate::model::{ChallengeKind, Ordered};
use crate::name::Name;

/// How an authority is asked whether it has looked: for as long as slow ones take.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));
/// What types of problems begin with (RFC 8555 section 6.7).
const PROBLEM: &str = "urn:ietf:params:acme:error:";

/// Why there is no certificate.
#[derive(Debug)]
pub(super) struct Failure {
    /// How the order ended.
    pub(super) outcome: Outcome,
    /// Why, for people.
    pub(super) why: String,
    /// Whether the authority does not know the account any more.
    pub(super) unknown: bool,
}

impl Failure {
    fn refused(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::Refused, why: why.into(), unknown: false }
    }

    /// Where nothing has been refused.
    pub(super) fn unreached(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::Unreached, why: why.into(), unknown: false }
    }

    /// The same, with the name that it is about.
    fn of(self, name: &str) -> Self {
        Self { why: format!("`{name}`: {}", self.why), ..self }
    }

    /// The same, of a problem that the authority tells.
    fn told(problem: &Problem) -> Self {
        let kind = problem.r#type.as_deref().and_then(|kind| kind.strip_prefix(PROBLEM));
        let outcome = match kind {
            Some("rateLimited") => Outcome::Limited,
            _ if problem.status.is_some_and(|status| status >= 500) => Outcome::Unreached,
            _ => Outcome::Refused,
        };
        let unknown = kind == Some("accountDoesNotExist");
        Self { outcome, why: described(problem), unknown }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Api(problem) => Self::told(problem),
            Error::Timeout(_) => Self::unreached("the authority has not looked in time"),
            _ => {
                let mut why = error.to_string();
                let mut source = error.source();
                while let Some(cause) = source {
                    let text = cause.to_string();
                    // Wrappers say what they hold.
                    if !why.contains(&text) {
                        let _ = write!(why, ": {text}");
                    }
                    source = cause.source();
                }
                Self::unreached(why)
            }
        }
    }
}

/// The challenges of an order, which nobody answers any more when it is over.
struct UnderWay<'c>(&'c Challenges);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.set_own(Vec::new());
    }
}

/// Orders a certificate; gives its key and its chain as one text in PEM form. Peers get `spread` to
/// hear of the challenges before the authority looks.
pub(super) async fn order(
    account: &Account,
    wanted: &Ordered,
    challenges: &Challenges,
    spread: Duration,
) -> Result<String, Failure> {
    let names: Vec<Identifier> = wanted.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let asked = asked(&mut order, wanted.challenge).await?;
    let under_way = UnderWay(challenges);
    if !asked.is_empty() {
        challenges.set_own(asked);
        sleep(spread).await;
        say_ready(&mut order, wanted.challenge).await?;
    }
    match order.poll_ready(&POLLING).await {
        Ok(OrderStatus::Ready) => {}
        Ok(_) | Err(Error::Api(_)) => return Err(refusal(&mut order).await),
        Err(error) => return Err(error.into()),
    }
    drop(under_way);
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&POLLING).await?;
    Ok(format!("{key}{chain}"))
}

/// The challenges of the names that the authority has not seen to be ours lately.
async fn asked(order: &mut Order, kind: ChallengeKind) -> Result<Vec<Challenge>, Failure> {
    let mut all = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            status => return Err(Failure::refused(format!("`{name}` is {status:?}"))),
        }
        let Some(challenge) = authorization.challenge(wire(kind)) else {
            let what = format!("the authority does not offer {} for `{name}`", kind.as_str());
            return Err(Failure::refused(what));
        };
        all.push(answer(&challenge, kind)?);
    }
    Ok(all)
}

/// Tells the authority to look.
async fn say_ready(order: &mut Order, kind: ChallengeKind) -> Result<(), Failure> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        if authorization.status == AuthorizationStatus::Pending
            && let Some(mut challenge) = authorization.challenge(wire(kind))
        {
            // A fast authority has looked before it replies.
            let ready = challenge.set_ready().await;
            ready.map_err(|error| Failure::from(error).of(&name))?;
        }
    }
    Ok(())
}

/// What a challenge is answered with.
fn answer(challenge: &ChallengeHandle<'_>, kind: ChallengeKind) -> Result<Challenge, Failure> {
    let key = challenge.key_authorization();
    match kind {
        ChallengeKind::Http => {
            let (token, content) = (challenge.token.clone(), key.as_str().to_owned());
            Ok(Challenge::Http { token, content })
        }
        ChallengeKind::Dns => {
            let Identifier::Dns(name) = challenge.identifier().identifier else {
                return Err(Failure::refused("the authority asks for something that is no name"));
            };
            let owner = Name::parse(&format!("_acme-challenge.{name}"), &Name::root());
            let owner = owner.map_err(|error| Failure::refused(format!("`{name}`: {error}")))?;
            Ok(Challenge::Dns { owner, text: key.dns_value() })
        }
    }
}

fn wire(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http => ChallengeType::Http01,
        ChallengeKind::Dns => ChallengeType::Dns01,
    }
}

/// Why an order is invalid, as the challenges say.
async fn refusal(order: &mut Order) -> Failure {
    let mut told: Vec<Failure> = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let name = state.identifier().to_string();
        let problems = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        told.extend(problems.map(|problem| Failure::told(problem).of(&name)));
    }
    let why: Vec<&str> = told.iter().map(|failure| failure.why.as_str()).collect();
    if why.is_empty() {
        return match &order.state().error {
            Some(problem) => Failure::told(problem),
            None => Failure::refused("the authority says that the order is invalid"),
        };
    }
    Failure::refused(why.join("; "))
}

/// A problem with its parts, for people.
fn described(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("about:blank");
    let kind = kind.strip_prefix(PROBLEM).unwrap_or(kind);
    let detail = problem.detail.as_deref().unwrap_or("no reason given");
    // It comes from the network, and goes into a log.
    let plain =
        |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(500).collect() };
    let mut text = format!("{} ({})", plain(detail), plain(kind));
    for part in problem.subproblems.iter().take(10) {
        let detail = part.detail.as_deref().unwrap_or_default();
        let _ = write!(text, "; {}", plain(detail));
    }
    text
}
