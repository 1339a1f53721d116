/* Weights in the stream of an adaptive binary range coder, decoded one by one.

   A decision is about a column, a row or a weight: is it zero, its sign, the digits of its
   magnitude. Each kind of decision has an adaptive probability for each context in which it is met.
   Contexts are made of the two weights before it in its row, and of the one a period before.

   Below is where the probabilities of each kind of decision begin. A tensor begins with a decision
   for each column; their 4 probabilities are needed no more once its weights begin, so they lie in
   the same place as those of rows and weights, which then begin anew. */
enum {
    NAME_LIVE = 0,                /* has a column other weights than zeros: 4 contexts */
    NAME_ROW = 0,                 /* is a row all zeros */
    NAME_NONZERO = 1,             /* is a weight not zero: 18 */
    NAME_NEGATIVE = 19,           /* 9 */
    NAME_LONGER = 28,             /* has a magnitude more digits, after its first, than this */
    NAME_DIGIT = 28 + @DIGITS@,   /* the digit after the first, for each number of digits */
    NAME_LOW = 28 + 2 * @DIGITS@, /* the other digits */
    NAME_PROBABILITIES = 29 + 2 * @DIGITS@
};

struct NAME_reader {
    const FLASH uint8_t *at;
    uint32_t range, code; /* of the range coder */
    uint16_t probability[NAME_PROBABILITIES]; /* that a decision is a 0, in 65,536ths */
    uint8_t slow[NAME_PROBABILITIES];         /* its top 3 bits: how slowly the probability learns */
    uint16_t columns, column;      /* of the tensor; the next weight's */
    uint8_t period, place;         /* where the weight a period before is in `past` */
    uint8_t empty;                 /* is the row all zeros */
    uint8_t before, last;          /* the two weights before: sign (1 +, 2 -) * 4 + magnitude */
    uint8_t past[@PERIOD@];        /* the same of a period; magnitudes are 2 at most */
    uint8_t live[@LIVE@];          /* a bit for each column */
};

static unsigned NAME_bit(struct NAME_reader *r, unsigned at)
{
    uint32_t probability = r->probability[at], slow = r->slow[at], bound;
    unsigned bit;
    while (r->range < 0x1000000) {
        r->range <<= 8;
        r->code <<= 8;
        if (r->at != NAME_data + sizeof NAME_data) r->code |= *r->at++; /* zeros at its end are cut */
    }
    bound = (r->range >> 16) * probability;
    bit = r->code >= bound;
    if (bit) {
        r->code -= bound;
        r->range -= bound;
        probability -= probability >> (slow >> 5);
    } else {
        r->range = bound;
        probability += (65536 - probability) >> (slow >> 5);
    }
    r->probability[at] = (uint16_t)probability;
    if (slow < 224) r->slow[at] = (uint8_t)(slow + (64u >> (slow >> 5)));
    return bit;
}

static unsigned NAME_alive(const struct NAME_reader *r, unsigned column)
{
    return r->live[column >> 3] >> (column & 7) & 1u;
}

static void NAME_reset(struct NAME_reader *r)
{
    unsigned i;
    for (i = 0; i < NAME_PROBABILITIES; i++) {
        r->probability[i] = 32768;
        r->slow[i] = 32;
    }
}

static void NAME_open(struct NAME_reader *r, int tensor)
{
    unsigned i, at;
    if (tensor == 0) {
        r->at = NAME_data;
        r->range = 1;
        r->code = 0;
    }
    r->columns = NAME_tensors[tensor][0];
    r->period = (uint8_t)NAME_tensors[tensor][1];
    r->column = 0;
    for (i = 0; i < sizeof r->live; i++) r->live[i] = 0;
    NAME_reset(r);
    for (i = 0; i < r->columns; i++) {
        at = NAME_LIVE;
        if (i) at += NAME_alive(r, i - 1);
        if (i >= r->period) at += 2 * NAME_alive(r, i - r->period);
        r->live[i >> 3] |= (uint8_t)(NAME_bit(r, at) << (i & 7));
    }
    NAME_reset(r);
}

/* The magnitude of a weight that is not zero. */
static int NAME_magnitude(struct NAME_reader *r)
{
    unsigned digits = 0, magnitude = 1, at;
    while (digits < @DIGITS@ && NAME_bit(r, NAME_LONGER + digits)) digits++;
    for (at = NAME_DIGIT + digits - 1; digits; digits--, at = NAME_LOW)
        magnitude = 2 * magnitude + NAME_bit(r, at);
    return (int)magnitude;
}

static int NAME_next(struct NAME_reader *r)
{
    unsigned sort = 0;
    int weight = 0;
    if (r->column == 0) {
        r->empty = (uint8_t)NAME_bit(r, NAME_ROW);
        r->before = r->last = r->place = 0;
    }
    if (!r->empty && NAME_alive(r, r->column)) {
        unsigned above = r->column < r->period ? 0u : r->past[r->place], near = 2u * (r->before & 3u) + (r->last & 3u);
        if (near > 5) near = 5;
        if (NAME_bit(r, NAME_NONZERO + 3 * near + (above & 3))) {
            unsigned negative = NAME_bit(r, NAME_NEGATIVE + 3 * (r->before / 4u) + (above >> 2));
            weight = NAME_magnitude(r);
            sort = 4 + 4 * negative + (weight > 1 ? 2 : 1);
            if (negative) weight = -weight;
        }
    }
    r->past[r->place] = (uint8_t)sort;
    if (++r->place == r->period) r->place = 0;
    r->last = r->before;
    r->before = (uint8_t)sort;
    if (++r->column == r->columns) r->column = 0;
    return weight;
}
