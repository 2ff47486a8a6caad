"""Where feature values come from: a GrowthBook API, a remote evaluator, a file, a Byline gateway."""
