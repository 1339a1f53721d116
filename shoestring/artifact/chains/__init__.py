"""Input chains: how raw sounds, texts or numbers become the array that a network takes."""
