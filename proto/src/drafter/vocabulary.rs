//! The draft model's vocabulary: pages of it on the wire, and the whole as a table.

use super::EndRole;
use crate::{ProtocolError, check, limits, model::Fingerprint, wire::drafter::v1 as wire};

/// Asks for a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VocabularyRequest {
    /// First id wanted.
    pub first: u32,
}

/// Tokens with consecutive ids.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VocabularyPage {
    /// Fingerprint of the tokenizer.
    pub fingerprint: Fingerprint,
    /// Ids of the whole vocabulary.
    pub vocabulary_size: u32,
    /// The first id.
    pub first: u32,
    /// Bytes of the tokens, one after another.
    pub text: Vec<u8>,
    /// Byte end in `text` of each token.
    pub token_ends: Vec<u32>,
    /// Ids of this page that end the sequence, ascending.
    pub end_of_sequence: Vec<u32>,
    /// Ids of this page that end the turn, ascending.
    pub end_of_turn: Vec<u32>,
}

/// Bytes of every id of a draft model, and the ids that end a reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VocabularyTable {
    /// Fingerprint of the tokenizer: what ids mean under this table they mean under no other.
    pub fingerprint: Fingerprint,
    /// Ids that end the sequence, ascending.
    pub end_of_sequence: Vec<u32>,
    /// Ids that end the turn, ascending.
    pub end_of_turn: Vec<u32>,
    text: Vec<u8>,
    /// Byte end in `text` of each token.
    ends: Vec<usize>,
    /// Ids there will be when all pages are in.
    expected: u32,
}

impl VocabularyPage {
    /// The page from `first` on of a vocabulary of `vocabulary_size` ids, as long as the limits let it be
    /// and at least one token. `token` gives what an id spells, and its role if it ends a reply.
    pub fn of<'b>(
        fingerprint: Fingerprint,
        vocabulary_size: u32,
        first: u32,
        token: impl Fn(u32) -> (&'b [u8], Option<EndRole>),
    ) -> Self {
        let mut page = Self {
            fingerprint,
            vocabulary_size,
            first,
            text: Vec::new(),
            token_ends: Vec::new(),
            end_of_sequence: Vec::new(),
            end_of_turn: Vec::new(),
        };
        let last = vocabulary_size.min(first.saturating_add(limits::MAX_PAGE_TOKENS));
        for id in first..last {
            let (bytes, role) = token(id);
            let is_full = page.text.len() + bytes.len() > limits::MAX_PAGE_BYTES;
            if is_full && !page.token_ends.is_empty() {
                break;
            }
            page.text.extend_from_slice(bytes);
            page.token_ends.push(page.text.len() as u32);
            match role {
                Some(EndRole::EndOfSequence) => page.end_of_sequence.push(id),
                Some(EndRole::EndOfTurn) => page.end_of_turn.push(id),
                None => {}
            }
        }
        page
    }
}

impl VocabularyTable {
    /// A table of tokens in the order of their ids, for a vocabulary that is at hand.
    pub fn of<'b>(
        fingerprint: Fingerprint,
        tokens: impl IntoIterator<Item = (&'b [u8], Option<EndRole>)>,
    ) -> Self {
        let mut table = Self::empty(fingerprint, 0);
        for (id, (bytes, role)) in (0..).zip(tokens) {
            table.text.extend_from_slice(bytes);
            table.ends.push(table.text.len());
            match role {
                Some(EndRole::EndOfSequence) => table.end_of_sequence.push(id),
                Some(EndRole::EndOfTurn) => table.end_of_turn.push(id),
                None => {}
            }
        }
        table.expected = table.size();
        table
    }

    /// Number of ids, from 0.
    pub fn size(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Exact bytes of a token; empty for tokens that are no text and for ids out of range.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else {
            return &[];
        };
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..end]
    }

    /// The bytes of every token, in the order of their ids.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.size()).map(|id| self.token_bytes(id))
    }

    /// The role of a token after which a reply is over.
    pub fn end_role(&self, id: u32) -> Option<EndRole> {
        if self.end_of_turn.binary_search(&id).is_ok() {
            return Some(EndRole::EndOfTurn);
        }
        let ends = self.end_of_sequence.binary_search(&id).is_ok();
        ends.then_some(EndRole::EndOfSequence)
    }

    /// The beginning of a table, from its first page.
    pub(super) fn begin(page: VocabularyPage) -> Result<Self, ProtocolError> {
        Self::empty(page.fingerprint, page.vocabulary_size).extended(page)
    }

    /// The same with the page that follows.
    pub(super) fn extended(mut self, page: VocabularyPage) -> Result<Self, ProtocolError> {
        let changed = |field: &str, found: String, expected: String| {
            let expected = format!("{expected}, as in the page before");
            Err(ProtocolError::invalid(field, found, expected))
        };
        if page.fingerprint != self.fingerprint {
            let (found, expected) = (page.fingerprint.to_string(), self.fingerprint.to_string());
            return changed("tokenizer_fingerprint", found, expected);
        }
        if page.vocabulary_size != self.expected {
            let (found, expected) = (page.vocabulary_size.to_string(), self.expected.to_string());
            return changed("vocabulary_size", found, expected);
        }
        check::within("first", page.first, self.size()..=self.size())?;
        let bytes = self.text.len() + page.text.len();
        let most = limits::MAX_VOCABULARY_BYTES;
        check::size("text of all pages", bytes, 0..=most, "bytes")?;
        let before = self.text.len();
        let ends = page.token_ends.iter().map(|end| before + *end as usize);
        self.ends.extend(ends);
        self.text.extend(page.text);
        self.end_of_sequence.extend(page.end_of_sequence);
        self.end_of_turn.extend(page.end_of_turn);
        Ok(self)
    }

    /// True if all pages are in.
    pub(super) fn is_complete(&self) -> bool {
        self.size() >= self.expected
    }

    fn empty(fingerprint: Fingerprint, expected: u32) -> Self {
        Self {
            fingerprint,
            end_of_sequence: Vec::new(),
            end_of_turn: Vec::new(),
            text: Vec::new(),
            ends: Vec::new(),
            expected,
        }
    }
}

impl TryFrom<wire::VocabularyRequest> for VocabularyRequest {
    type Error = ProtocolError;

    fn try_from(request: wire::VocabularyRequest) -> Result<Self, ProtocolError> {
        let most = limits::MAX_VOCABULARY_TOKENS - 1;
        let first = check::within("first", request.first, 0..=most)?;
        Ok(Self { first })
    }
}

impl From<VocabularyRequest> for wire::VocabularyRequest {
    fn from(request: VocabularyRequest) -> Self {
        Self {
            first: request.first,
        }
    }
}

impl TryFrom<wire::VocabularyResponse> for VocabularyPage {
    type Error = ProtocolError;

    fn try_from(page: wire::VocabularyResponse) -> Result<Self, ProtocolError> {
        let fingerprint = Fingerprint(check::fingerprint(
            "tokenizer_fingerprint",
            &page.tokenizer_fingerprint,
        )?);
        let sizes = 1..=limits::MAX_VOCABULARY_TOKENS;
        let size = check::within("vocabulary_size", page.vocabulary_size, sizes)?;
        let first = check::within("first", page.first, 0..=size - 1)?;
        let most = limits::MAX_PAGE_TOKENS.min(size - first) as usize;
        check::size("token_ends", page.token_ends.len(), 1..=most, "entries")?;
        check::size("text", page.text.len(), 0..=limits::MAX_PAGE_BYTES, "bytes")?;
        let ascend = page.token_ends.is_sorted();
        if !ascend || page.token_ends.last().map(|end| *end as usize) != Some(page.text.len()) {
            let expected = "never decreasing, and the last one the length of text";
            return Err(ProtocolError::invalid("token_ends", "otherwise", expected));
        }
        let ids = first..first + page.token_ends.len() as u32;
        for (field, ends) in [
            ("end_of_sequence", &page.end_of_sequence),
            ("end_of_turn", &page.end_of_turn),
        ] {
            let ascend = ends.is_sorted_by(|one, next| one < next);
            if !ascend || ends.iter().any(|id| !ids.contains(id)) {
                let expected = "strictly ascending ids of the page";
                return Err(ProtocolError::invalid(field, "otherwise", expected));
            }
        }
        let both = |id: &u32| page.end_of_sequence.binary_search(id).is_ok();
        if let Some(id) = page.end_of_turn.iter().find(|id| both(id)) {
            let found = format!("{id} too");
            let expected = "without the ids in end_of_sequence";
            return Err(ProtocolError::invalid("end_of_turn", found, expected));
        }
        Ok(Self {
            fingerprint,
            vocabulary_size: size,
            first,
            text: page.text,
            token_ends: page.token_ends,
            end_of_sequence: page.end_of_sequence,
            end_of_turn: page.end_of_turn,
        })
    }
}

impl From<VocabularyPage> for wire::VocabularyResponse {
    fn from(page: VocabularyPage) -> Self {
        Self {
            tokenizer_fingerprint: page.fingerprint.0.to_vec(),
            vocabulary_size: page.vocabulary_size,
            first: page.first,
            text: page.text,
            token_ends: page.token_ends,
            end_of_sequence: page.end_of_sequence,
            end_of_turn: page.end_of_turn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: [(&[u8], Option<EndRole>); 5] = [
        (b"a", None),
        (&[0xf0, 0x9f], None),
        (b"", Some(EndRole::EndOfSequence)),
        (b" the", None),
        (b"", Some(EndRole::EndOfTurn)),
    ];

    fn whole() -> VocabularyTable {
        VocabularyTable::of(Fingerprint([3; 32]), TOKENS)
    }

    fn page(first: u32) -> VocabularyPage {
        VocabularyPage::of(Fingerprint([3; 32]), 5, first, |id| TOKENS[id as usize])
    }

    /// The first `count` tokens of a page.
    fn cut(mut page: VocabularyPage, count: usize) -> VocabularyPage {
        page.token_ends.truncate(count);
        let end = page.first + count as u32;
        page.text
            .truncate(page.token_ends.last().map_or(0, |end| *end as usize));
        page.end_of_sequence.retain(|id| *id < end);
        page.end_of_turn.retain(|id| *id < end);
        page
    }

    #[test]
    fn table_says_what_each_id_spells_and_ends() {
        let table = whole();
        assert_eq!(table.size(), 5);
        assert_eq!(table.token_bytes(1), [0xf0, 0x9f]);
        assert_eq!(table.token_bytes(3), b" the");
        assert_eq!(table.token_bytes(5), b"");
        assert_eq!(table.end_role(2), Some(EndRole::EndOfSequence));
        assert_eq!(table.end_role(4), Some(EndRole::EndOfTurn));
        assert_eq!(table.end_role(3), None);
        let tokens: Vec<&[u8]> = table.tokens().collect();
        assert_eq!(tokens, TOKENS.map(|(bytes, _)| bytes));
    }

    #[test]
    fn pages_of_any_length_give_the_same_table() {
        for count in 1..=5 {
            let mut table = VocabularyTable::begin(cut(page(0), count)).unwrap();
            while !table.is_complete() {
                let rest = page(table.size());
                let count = count.min(rest.token_ends.len());
                table = table.extended(cut(rest, count)).unwrap();
            }
            assert_eq!(table, whole(), "{count} tokens a page");
        }
    }

    #[test]
    fn page_ends_where_its_limit_is() {
        let long = vec![b'x'; limits::MAX_PAGE_BYTES / 2 + 1];
        let page = VocabularyPage::of(Fingerprint([0; 32]), 9, 2, |_| (&long, None));
        assert_eq!((page.first, page.token_ends.len()), (2, 1));
        let size = limits::MAX_PAGE_TOKENS + 5;
        let page = VocabularyPage::of(Fingerprint([0; 32]), size, 0, |_| (b"ab", None));
        assert_eq!(page.token_ends.len(), limits::MAX_PAGE_TOKENS as usize);
    }

    #[test]
    fn page_that_does_not_follow_is_refused() {
        let begun = || VocabularyTable::begin(cut(page(0), 2)).unwrap();
        let other = VocabularyPage {
            fingerprint: Fingerprint([4; 32]),
            ..page(2)
        };
        let grown = VocabularyPage {
            vocabulary_size: 6,
            ..page(2)
        };
        for (field, page) in [
            ("tokenizer_fingerprint is 0404", other),
            ("vocabulary_size is 6", grown),
            ("first is 3", page(3)),
            ("first is 0", page(0)),
        ] {
            let error = begun().extended(page).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }

    #[test]
    fn bad_pages_are_refused_by_field() {
        type Change = fn(&mut wire::VocabularyResponse);
        let wrong: [(&str, Change); 11] = [
            ("tokenizer_fingerprint", |page| {
                page.tokenizer_fingerprint.clear();
            }),
            ("vocabulary_size", |page| page.vocabulary_size = 0),
            ("vocabulary_size", |page| page.vocabulary_size = u32::MAX),
            ("first", |page| page.first = 5),
            ("token_ends", |page| page.token_ends.clear()),
            ("token_ends", |page| page.token_ends.push(7)),
            ("token_ends", |page| page.token_ends[0] = 4),
            ("token_ends", |page| page.text.push(0)),
            ("end_of_sequence", |page| page.end_of_sequence.push(5)),
            ("end_of_sequence", |page| page.end_of_sequence.push(2)),
            ("end_of_turn", |page| page.end_of_turn = vec![2]),
        ];
        let sound = || wire::VocabularyResponse::from(page(0));
        assert_eq!(VocabularyPage::try_from(sound()), Ok(page(0)));
        for (field, change) in wrong {
            let mut page = sound();
            change(&mut page);
            let error = VocabularyPage::try_from(page).unwrap_err().to_string();
            assert!(error.starts_with(field), "{field}: {error}");
        }
    }
}
