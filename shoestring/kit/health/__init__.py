"""What goes through a network: values and gradients call by call, and what is no number."""
