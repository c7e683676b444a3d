"""Write, check and read model files (`*.autoseg`): a trained model as a single file."""
