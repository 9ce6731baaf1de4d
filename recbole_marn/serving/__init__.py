"""From a checkpoint to answers: scores, item vectors and rankings, without the data a model was trained on."""
