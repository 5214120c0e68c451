//! Limits that both sides share. A service may be configured below them, never above.

/// Size of one gRPC message, in bytes: room for a full prompt and a full committed reply.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Content of a prompt, all messages together, in bytes.
pub const MAX_PROMPT_BYTES: usize = 1 << 20;
/// Token ids of a prompt.
pub const MAX_PROMPT_TOKENS: usize = 1 << 18;
/// Variables of a chat template, as JSON, in bytes.
pub const MAX_TEMPLATE_VARIABLES_BYTES: usize = 64 << 10;
/// Name of a speaker, or id of a call, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// A JSON Schema or a Lark grammar, in bytes.
pub const MAX_GRAMMAR_BYTES: usize = 256 << 10;
/// A regular expression, or all choices together, in bytes.
pub const MAX_REGEX_BYTES: usize = 64 << 10;
/// Texts that a reply may be chosen from.
pub const MAX_CHOICES: usize = 1024;
/// Text that a reply may resemble, in bytes.
pub const MAX_PREDICTION_BYTES: usize = 1 << 20;
/// Tokens that end a reply besides the model's own.
pub const MAX_STOP_TOKENS: usize = 64;
/// Tokens of a prompt in one message.
pub const MAX_READING_TOKENS: usize = 1024;
/// Messages of a conversation.
pub const MAX_MESSAGES: usize = 1024;
/// Committed reply, in bytes.
pub const MAX_COMMITTED_BYTES: usize = 1 << 20;
/// Bytes that one verdict may append.
pub const MAX_APPENDED_BYTES: usize = 64 << 10;
/// Text of one block, in bytes.
pub const MAX_BLOCK_BYTES: u32 = 8192;
/// Draft tokens of one block.
pub const MAX_BLOCK_TOKENS: u32 = 128;
/// Alternatives that a wish may ask for.
pub const MAX_ALTERNATIVES: u32 = 8;
/// Alternatives that a request may ask for.
pub const MAX_REQUESTED_ALTERNATIVES: u32 = 4;
/// Blocks of a session that may be unanswered.
pub const MAX_CREDIT: u32 = 16;
/// Entries of all sparse distributions of a block together.
pub const MAX_DISTRIBUTION_ENTRIES: usize = 65_536;
/// Session and request ids, in bytes.
pub const MAX_ID_BYTES: usize = 128;
/// Name of an acceptance method, in bytes.
pub const MAX_METHOD_BYTES: usize = 32;
/// Text of a failure, in bytes.
pub const MAX_FAILURE_BYTES: usize = 1024;
/// Stop strings of a request.
pub const MAX_STOPS: usize = 16;
/// One stop string, in bytes.
pub const MAX_STOP_BYTES: usize = 256;
/// Likeliest tokens that a request may ask for at each position.
pub const MAX_TOP_LOGPROBS: u32 = 20;
/// Entries of a request's logit bias.
pub const MAX_LOGIT_BIASES: usize = 1024;
/// Sharpness of a draft.
pub const MAX_SHARPNESS: f32 = 100.0;
/// Ids of a draft model's vocabulary.
pub const MAX_VOCABULARY_TOKENS: u32 = 1 << 22;
/// Bytes of all tokens of a draft model's vocabulary together.
pub const MAX_VOCABULARY_BYTES: usize = 64 << 20;
/// Tokens of one page of a vocabulary.
pub const MAX_PAGE_TOKENS: u32 = 65_536;
/// Bytes of all tokens of one page of a vocabulary together.
pub const MAX_PAGE_BYTES: usize = 1 << 20;
/// Bytes of the set of tokens that may be drawn.
pub const MAX_DRAWABLE_BYTES: usize = 512 << 10;
/// Address of a drafter, in bytes.
pub const MAX_ADDRESS_BYTES: usize = 1024;
/// Texts, or methods, of a report on a pair.
pub const MAX_PAIR_ENTRIES: usize = 64;
/// Dropped blocks that one round reports.
pub const MAX_DROPPED_BLOCKS: usize = 2 * MAX_CREDIT as usize;
