"""What people do with a trained energy: generate, denoise, inpaint, score, estimate likelihoods."""
