//! What the client does with the messages of a conversation, of about 500 bytes each: to cut, hash
//! and encode them for a put, and to decode and verify them for a read; and what it costs to be
//! seen.

use std::hint::black_box;
use std::ops::Range;
use std::time::Duration;

use checkpointer::internals::{self, Channel, Growing, Stored};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};

const LENGTHS: [usize; 3] = [100, 1000, 10_000];

fn messages(numbers: Range<usize>) -> Value {
    let message = |n: usize| {
        let mut rng = fastrand::Rng::with_seed(n as u64);
        let words = (0..rng.usize(30..80)).map(|_| rng.u32(..1_000_000).to_string());
        let content = words.collect::<Vec<_>>().join(" ");
        json!({ "id": format!("{:032x}", rng.u128(..)), "role": "user", "content": content })
    };
    numbers.map(message).collect()
}

/// A put of the value in a channel, by turns with a put of another one before it.
fn puts(criterion: &mut Criterion) {
    type Values = fn(usize) -> [Value; 2];
    let cases: [(&str, Values); 3] = [
        ("append", |n| [messages(0..n), messages(0..n + 1)]),
        ("window", |n| [messages(0..n), messages(1..n + 1)]),
        ("all new", |n| [messages(0..n), messages(n..2 * n)]),
    ];
    for (name, values) in cases {
        let mut group = criterion.benchmark_group(format!("put, {name}"));
        for length in LENGTHS {
            let values = values(length);
            let mut channel = Channel::default();
            let mut turn = 0;
            group.bench_function(BenchmarkId::from_parameter(length), |bencher| {
                bencher.iter(|| {
                    turn += 1;
                    black_box(channel.put(&values[turn % 2]))
                });
            });
        }
        group.finish();
    }
}

/// A put that says what is new: each adds a message.
fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("put, append told");
    let further = messages(0..1000);
    let further = further.as_array().map_or(&[][..], Vec::as_slice);
    for length in LENGTHS {
        let mut growing = Growing::of(&messages(0..length));
        let mut next = further.chunks(1).cycle();
        group.bench_function(BenchmarkId::from_parameter(length), |bencher| {
            bencher.iter(|| black_box(growing.append(next.next().unwrap_or_default())));
        });
    }
    group.finish();
}

fn codec(criterion: &mut Criterion) {
    let value = messages(0..1000);
    let text = internals::encode(&value).unwrap_or_default();
    let stored = Stored::of(&value);
    let mut group = criterion.benchmark_group("1000 messages");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("hash", |bencher| bencher.iter(|| internals::hash(&value)));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| internals::encode(&value))
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| internals::decode(&text))
    });
    group.bench_function("cut and encode", |bencher| {
        bencher.iter(|| Stored::of(&value))
    });
    group.bench_function("decode and verify", |bencher| {
        bencher.iter(|| stored.as_ref().map(Stored::read))
    });
    group.finish();
}

/// A put without a subscriber and without a recorder.
fn unseen(criterion: &mut Criterion) {
    criterion.bench_function("a put seen by nobody", |bencher| {
        bencher.iter(internals::see)
    });
}

criterion_group! {
    name = client;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2));
    targets = puts, appends, codec, unseen
}
criterion_main!(client);
