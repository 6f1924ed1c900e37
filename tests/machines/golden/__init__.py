"""What every version of every chart was, and how machines of it have lived."""
