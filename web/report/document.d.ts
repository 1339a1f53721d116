// What the page reads: shoestring/report/document.py writes it. Numbers are finite or null; text may hold anything.

export interface Document {
  schema: 1;
  kind: "study" | "ledger" | "file" | "networks";
  title: string;
  /** ISO time. */
  made: string;
  /** Of shoestring. */
  version: string;
  /** Whether a server keeps ./document.json fresh. */
  live: boolean;
  /** Whether a search is going on. */
  working: boolean;
  /** Sentences that must be seen. */
  notes: string[];
  /** Those that a point measured, the default of the x axis first. */
  resources: Axis[];
  /** The default of the y axis first. */
  scores: Axis[];
  before: Point | null;
  after: Point | null;
  points: Point[];
  /** Ids, for the default axes; the page computes it for others. */
  frontier: string[];
  /** "free", "balanced", "tiny" to ids. */
  named: Record<string, string>;
  budget: { text: string; limits: Limit[]; met: boolean | null } | null;
  /** Of the delivered file: quartiles of the ratio of its time to that of the model that came in; null where not timed. */
  speed: { median: number; low: number; high: number; words: string; clear: boolean } | null;
  /** That the whole search took. */
  search_seconds: number | null;
  bill: { total: number; rows: BillRow[] } | null;
  layers: Layer[];
  sensitivity: { layers: string[]; actions: string[]; cells: Cell[]; words: string } | null;
  ledger: LedgerRow[];
  rates: Rate[];
  commands: Command[];
  machine: string;
  versions: Record<string, string>;
  /** Of a search for networks. */
  networks: { curve: Spent[]; words: string; code: string; file: string; compared: string[] } | null;
}

/** What a search for networks had come to when a training ended. */
export interface Spent {
  /** Of the point. */
  id: string;
  /** Of training by then, of all processes together. */
  minutes: number;
  score: number;
  /** Of a full training. */
  share: number;
  best: number | null;
}

export interface Axis {
  /** Of a point's costs, or of its scores. */
  field: string;
  name: string;
  /** "B", "ms", "s", "min", "J", "" for counts; "%" for scores that are shown times 100. */
  unit: string;
  words: string;
  better: "lower" | "higher";
  log: boolean;
  /** Of a score: points with less are no points of a frontier where there are others. */
  least: number | null;
}

export interface Limit {
  field: string;
  at_most: number | null;
  at_least: number | null;
  words: string;
  /** What the delivered file has of it. */
  measured?: number | null;
  /** null where noise leaves it open, or where nothing was delivered. */
  kept?: boolean | null;
}

export interface Point {
  id: string;
  label: string;
  technique: string;
  steps: string[];
  state: "ok" | "failed" | "nan";
  costs: Record<string, number>;
  intervals: Record<string, [number, number]>;
  scores: Record<string, number>;
  /** Standard error of the score's difference from the model that came in; in a search for networks, of the score. */
  error: number | null;
  fits: boolean | null;
  /** By which `shoestring frontier --pick` knows it. */
  number?: number | null;
  test: number | null;
  /** How many scores on test data the ledger has of it; `test` is the newest. */
  tests: number;
  minutes: number | null;
  seed: number | null;
  fidelity: number | null;
  sha256: string | null;
  note: string;
}

export interface BillRow {
  tensor: string;
  section: string;
  bytes: number;
  words: string;
}

export interface Layer {
  tensor: string;
  numbers: number;
  /** Of the file, for each number. */
  bits: number;
  zeros: number | null;
  bytes: number;
  kind: string;
}

export interface Cell {
  layer: string;
  action: string;
  score_lost: number | null;
  score_error: number | null;
  bytes_saved: number | null;
  milliseconds_saved: number | null;
  note: string;
}

export interface LedgerRow {
  id: number;
  /** Seconds since 1970. */
  time: number;
  kind: string;
  technique: string;
  gist: string;
  task: string | null;
  seed: number | null;
  score_before: number | null;
  score_after: number | null;
  cost_before: Record<string, number>;
  cost_after: Record<string, number>;
  file: string | null;
  run: string | null;
  note: string;
  machine: string;
}

export interface Rate {
  from: string;
  to: string;
  words: string;
  given: number;
  got: number;
  given_unit: string;
  got_unit: string;
  /** false: noise may have made one of the two differences, and there is no rate. */
  clear: boolean;
}

export interface Command {
  words: string;
  command: string;
  /** Of the point that the command picks. */
  id?: string;
}
