//! irithyll's streaming gradient boosted trees, a block predicted and then learnt.
//!
//! Arguments: boosting steps, events in a block. Standard input: a line of one letter per feature (`n`umeric or
//! `c`ategorical), a line with the number of classes, then a line per event: its features as numbers, its class.
//! Prints accuracy and seconds as one JSON object; reading isn't counted.

use std::io::Read;
use std::time::Instant;

use irithyll::ensemble::config::FeatureType;
use irithyll::ensemble::multiclass::MulticlassSGBT;
use irithyll::loss::logistic::LogisticLoss;
use irithyll::{SGBTConfig, Sample, SGBT};

enum Model {
    Binary(Box<SGBT<LogisticLoss>>),
    Multiclass(Box<MulticlassSGBT>),
}

impl Model {
    fn new(steps: usize, types: Vec<FeatureType>, classes: usize) -> Self {
        let config = SGBTConfig::builder()
            .n_steps(steps)
            .learning_rate(0.1)
            .grace_period(50)
            .feature_types(types)
            .build()
            .expect("a valid configuration");
        if classes <= 2 {
            Model::Binary(Box::new(SGBT::with_loss(config, LogisticLoss)))
        } else {
            Model::Multiclass(Box::new(MulticlassSGBT::new(config, classes).expect("classes")))
        }
    }

    fn predict(&self, features: &[f64]) -> f64 {
        match self {
            Model::Binary(model) => f64::from(model.predict_proba(features) >= 0.5),
            Model::Multiclass(model) => model.predict(features) as f64,
        }
    }

    fn learn(&mut self, sample: &Sample) {
        match self {
            Model::Binary(model) => model.train_one(sample),
            Model::Multiclass(model) => model.train_one(sample),
        }
    }
}

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|n| n.parse().expect("a number")).collect();
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("text");
    let mut lines = text.lines();
    let types: Vec<FeatureType> = lines
        .next()
        .expect("types")
        .chars()
        .map(|letter| if letter == 'c' { FeatureType::Categorical } else { FeatureType::Continuous })
        .collect();
    let classes = lines.next().expect("classes").parse().expect("a number");
    let samples: Vec<Sample> = lines
        .map(|line| {
            let mut row: Vec<f64> = line.split(' ').map(|cell| cell.parse().expect("a number")).collect();
            let class = row.pop().expect("a class");
            Sample::new(row, class)
        })
        .collect();

    let mut model = Model::new(numbers[0], types, classes);
    let mut right = 0;
    let began = Instant::now();
    for block in samples.chunks(numbers[1]) {
        right += block.iter().filter(|event| model.predict(&event.features) == event.target).count();
        block.iter().for_each(|event| model.learn(event));
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{{\"right\": {right}, \"seconds\": {seconds}}}");
}
