//! The acceptance methods by name. Sessions negotiate a method; its name is what configuration,
//! wire and reports use.

use std::fmt;
use std::str::FromStr;

use super::{
    Distribution, SparseDistribution, coupled, greedy, point_mass, rejection, sample, token_timing,
};
use crate::TargetToken;
use crate::noise::Position;

/// Acceptance method of a block.
///
/// More may come, so matches outside this crate keep an arm for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// The target's most probable token; the noise is not used. Lossless at temperature 0, where the distribution
    /// is that one token; not to be used above. The drafter proposes its own most probable token.
    Greedy,
    /// Both sides take the argmax of log probability plus shared noise. Lossless for any drafter, and
    /// the text depends on seed, prompt and target alone. The drafter needs the session's seed.
    Coupled,
    /// Accepts with the target's probability of the proposal, else samples without it. Lossless for
    /// any drafter that does not know the seed; the text depends on the proposals. The drafter
    /// proposes its most probable token at any temperature.
    PointMass,
    /// Speculative sampling where both models have one vocabulary. The drafter draws from a sparse distribution
    /// and sends the ids drawn and that distribution.
    Standard,
    /// Token-level intersection: the drafter draws from its distribution restricted to the tokens that both
    /// vocabularies share ([`super::TokenMap::shared`]), and sends the ids drawn and that distribution, which
    /// becomes one over target tokens by [`super::intersection`].
    Tli,
    /// A fixed map spells each draft token in target tokens, and each of these is judged by its own distribution
    /// given those before it ([`super::MappedBlock`], [`super::conditional`]). The drafter draws from a
    /// sparse distribution over tokens that the map spells, and sends the ids drawn and that distribution.
    PathConditional,
    /// TokenTiming as published: one scalar for each candidate, by warping ([`super::transfer`]). Biased, so
    /// only for requests that allow it. The drafter sends the ids drawn and a probability of each.
    TokenTiming,
}

/// Property of plain decoding that a method keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Losslessness {
    /// The text itself: for one seed the same as without speculation, with any drafter.
    SameText,
    /// The distribution of the text, as far as the drafter keeps to the contract of the method's variant; the
    /// text depends on what was proposed.
    SameDistribution,
    /// Nothing: the distribution of the text is another.
    No,
}

/// A proposal and what is known of how it came about.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<'a> {
    /// The candidate.
    pub token: TargetToken,
    /// Its origin.
    pub drawn: Drawn<'a>,
}

/// Origin of a proposal, as far as the drafter sends it. For one session and method it is the same
/// kind at every position, or depends on nothing but what was fixed before the draw: a drafter free to
/// choose after it could bias the text.
#[derive(Clone, Copy, Debug)]
pub enum Drawn<'a> {
    /// Nothing is known, or all of it is revealed.
    Somehow,
    /// Drawn from this distribution over target tokens.
    From(SparseDistribution<'a>),
    /// The scalar carried over to it, in (0, 1].
    Scalar(f64),
}

/// A name that is no method's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMethod {
    /// The name given.
    pub name: String,
}

impl Method {
    /// Every method there is.
    pub const ALL: [Self; 7] = [
        Self::Greedy,
        Self::Coupled,
        Self::PointMass,
        Self::Standard,
        Self::Tli,
        Self::PathConditional,
        Self::TokenTiming,
    ];

    /// The name, as configuration and wire spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Greedy => "greedy",
            Self::Coupled => "coupled",
            Self::PointMass => "point_mass",
            Self::Standard => "standard",
            Self::Tli => "tli",
            Self::PathConditional => "path_conditional",
            Self::TokenTiming => "token_timing",
        }
    }

    /// Property of plain decoding that it keeps, used as its variant says.
    pub fn losslessness(self) -> Losslessness {
        match self {
            Self::Greedy | Self::Coupled => Losslessness::SameText,
            Self::PointMass | Self::Standard | Self::Tli | Self::PathConditional => {
                Losslessness::SameDistribution
            }
            Self::TokenTiming => Losslessness::No,
        }
    }

    /// True if emitted tokens follow the target's distribution exactly, used as its variant says.
    pub fn is_lossless(self) -> bool {
        self.losslessness() != Losslessness::No
    }

    /// True if it may be used where the target samples, above temperature 0.
    pub fn samples(self) -> bool {
        self != Self::Greedy
    }

    /// True if the drafter has to send the distribution that each token was drawn from.
    pub fn needs_distributions(self) -> bool {
        matches!(self, Self::Standard | Self::Tli | Self::PathConditional)
    }

    /// True if the drafter has to send the probability that it gave each token.
    pub fn needs_scalars(self) -> bool {
        self == Self::TokenTiming
    }

    /// True if the drafter has to send its token ids, not only their bytes.
    pub fn needs_ids(self) -> bool {
        self.needs_distributions() || self.needs_scalars()
    }

    /// Token that the target emits at one position, where `proposed` is the candidate there or none, and nothing
    /// else is known of it; so methods that judge by distributions or scalars act as `point_mass`. `bytes`
    /// gives a token's exact bytes and its rank among tokens with equal bytes.
    pub fn choose<'b>(
        self,
        distribution: &Distribution<'_>,
        proposed: Option<TargetToken>,
        noise: &Position,
        bytes: impl Fn(u32) -> (&'b [u8], u32),
    ) -> TargetToken {
        let drawn = Drawn::Somehow;
        let proposal = proposed.map(|token| Proposal { token, drawn });
        self.choose_against(distribution, proposal, noise, bytes)
    }

    /// Token that the target emits at one position, where `proposal` is the candidate there, if any, and what it
    /// was drawn from. A kind of evidence that the method does not judge by is left aside, and without
    /// its own kind it acts as `point_mass`: exact with any drafter. O(n) as its rule.
    pub fn choose_against<'b>(
        self,
        distribution: &Distribution<'_>,
        proposal: Option<Proposal<'_>>,
        noise: &Position,
        bytes: impl Fn(u32) -> (&'b [u8], u32),
    ) -> TargetToken {
        let token = match (self, proposal) {
            (Self::Greedy, _) => greedy(distribution),
            (Self::Coupled, _) => coupled(distribution, 1.0, noise, bytes),
            (_, None) => sample(distribution, noise),
            (_, Some(proposal)) => {
                let proposed = proposal.token.0;
                match proposal.drawn {
                    Drawn::From(r) if self.needs_distributions() => {
                        rejection(distribution, proposed, &r, noise)
                    }
                    Drawn::Scalar(q) if self.needs_scalars() => {
                        token_timing(distribution, proposed, q, noise)
                    }
                    _ => point_mass(distribution, proposed, noise),
                }
            }
        };
        TargetToken(token)
    }
}

impl UnknownMethod {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Losslessness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SameText => "same text",
            Self::SameDistribution => "same distribution",
            Self::No => "no",
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|method| method.name() == name);
        found.ok_or_else(|| UnknownMethod::new(name))
    }
}

impl fmt::Display for UnknownMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown acceptance method {:?}, expected one of",
            self.name
        )?;
        for (i, method) in Method::ALL.into_iter().enumerate() {
            write!(f, "{} {method}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownMethod {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_what_is_displayed() {
        for method in Method::ALL {
            assert_eq!(method.to_string().parse(), Ok(method));
            assert_eq!(method.is_lossless(), method != Method::TokenTiming);
        }
    }

    #[test]
    fn unknown_name_is_refused_with_the_known_ones() {
        let refused = "typical".parse::<Method>().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "unknown acceptance method \"typical\", expected one of greedy, coupled, point_mass, \
             standard, tli, path_conditional, token_timing"
        );
    }

    #[test]
    fn only_methods_that_look_past_the_proposal_keep_the_text_itself() {
        let same_text = |method: &Method| method.losslessness() == Losslessness::SameText;
        let keeping: Vec<Method> = Method::ALL.into_iter().filter(same_text).collect();
        assert_eq!(keeping, [Method::Greedy, Method::Coupled]);
    }
}
