//! The acceptance methods by name. Sessions negotiate a method; its name is what configuration,
//! wire and reports use.

use std::fmt;
use std::str::FromStr;

use super::{Law, coupled, greedy, point_mass, sample};
use crate::TargetToken;
use crate::noise::Position;

/// How a block is accepted.
///
/// More will come (methods that need the draft's law on the wire), so matches outside this crate keep
/// an arm for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// The target's most probable token, whatever the noise. Lossless at temperature 0, where the law
    /// is that one token; not to be used above. The drafter proposes its own most probable token.
    Greedy,
    /// Both sides take the argmax of log probability plus shared noise. Lossless for any drafter, and
    /// the text depends on seed, prompt and target alone. The drafter needs the session's seed.
    Coupled,
    /// Accepts with the target's probability of the proposal, else samples without it. Lossless for
    /// any drafter that does not know the seed; the text depends on the proposals. The drafter
    /// proposes its most probable token, whatever the temperature.
    PointMass,
}

/// What a method keeps of plain decoding with the target alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Losslessness {
    /// The text itself: for one seed the same as without speculation, whatever the drafter does.
    SameText,
    /// The law of the text, as far as the drafter keeps to the contract of the method's variant; the
    /// text depends on what was proposed.
    SameLaw,
    /// Nothing: the law of the text is another.
    No,
}

/// A name that is no method's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMethod {
    /// The name given.
    pub name: String,
}

impl Method {
    /// Every method there is.
    pub const ALL: [Self; 3] = [Self::Greedy, Self::Coupled, Self::PointMass];

    /// The name, as configuration and wire spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Greedy => "greedy",
            Self::Coupled => "coupled",
            Self::PointMass => "point_mass",
        }
    }

    /// What it keeps of plain decoding, used as its variant says.
    pub fn losslessness(self) -> Losslessness {
        match self {
            Self::Greedy | Self::Coupled => Losslessness::SameText,
            Self::PointMass => Losslessness::SameLaw,
        }
    }

    /// Whether what is emitted follows the target's law exactly, used as its variant says.
    pub fn is_lossless(self) -> bool {
        self.losslessness() != Losslessness::No
    }

    /// Whether it may be used where the target samples, above temperature 0.
    pub fn samples(self) -> bool {
        self != Self::Greedy
    }

    /// What the target emits at one position, where `proposed` is the proxy there or none. `bytes`
    /// gives a token's exact bytes and its rank among tokens with equal bytes.
    pub fn choose<'b>(
        self,
        law: &Law<'_>,
        proposed: Option<TargetToken>,
        noise: &Position,
        bytes: impl Fn(u32) -> (&'b [u8], u32),
    ) -> TargetToken {
        TargetToken(match (self, proposed) {
            (Self::Greedy, _) => greedy(law),
            (Self::Coupled, _) => coupled(law, 1.0, noise, bytes),
            (Self::PointMass, Some(TargetToken(proposed))) => point_mass(law, proposed, noise),
            (Self::PointMass, None) => sample(law, noise),
        })
    }
}

impl fmt::Display for Losslessness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SameText => "same text",
            Self::SameLaw => "same law",
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
        found.ok_or_else(|| UnknownMethod {
            name: name.to_owned(),
        })
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
            assert!(method.is_lossless());
        }
    }

    #[test]
    fn unknown_name_is_refused_with_the_known_ones() {
        let refused = "typical".parse::<Method>().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "unknown acceptance method \"typical\", expected one of greedy, coupled, point_mass"
        );
    }
}
