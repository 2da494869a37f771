//! irithyll's streaming gradient boosted trees, a block predicted and then learnt.
//!
//! Arguments: boosting steps, events in a block. Standard input: a line of one letter per feature (`n`umeric or
//! `c`ategorical), a line with the number of classes, then a line per event: its features as numbers, its class. Of no
//! classes a line ends with the number that a regression predicts. Prints the seconds, in which reading isn't counted,
//! then each prediction.

use std::io::Read;
use std::time::Instant;

use irithyll::ensemble::config::FeatureType;
use irithyll::ensemble::multiclass::MulticlassSGBT;
use irithyll::loss::logistic::LogisticLoss;
use irithyll::loss::squared::SquaredLoss;
use irithyll::{SGBTConfig, Sample, SGBT};

enum Model {
    Regression(Box<SGBT<SquaredLoss>>),
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
        if classes == 0 {
            Model::Regression(Box::new(SGBT::new(config)))
        } else if classes <= 2 {
            Model::Binary(Box::new(SGBT::with_loss(config, LogisticLoss)))
        } else {
            Model::Multiclass(Box::new(MulticlassSGBT::new(config, classes).expect("classes")))
        }
    }

    fn predict(&self, features: &[f64]) -> f64 {
        match self {
            Model::Regression(model) => model.predict(features),
            Model::Binary(model) => f64::from(model.predict_proba(features) >= 0.5),
            Model::Multiclass(model) => model.predict(features) as f64,
        }
    }

    fn learn(&mut self, sample: &Sample) {
        match self {
            Model::Regression(model) => model.train_one(sample),
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
    let mut predicted = Vec::with_capacity(samples.len());
    let began = Instant::now();
    for block in samples.chunks(numbers[1]) {
        predicted.extend(block.iter().map(|event| model.predict(&event.features)));
        block.iter().for_each(|event| model.learn(event));
    }
    println!("{}", began.elapsed().as_secs_f64());
    predicted.iter().for_each(|value| println!("{value}"));
}
