"""Would it have found the electrolytes that were found? Trained until a year, judged by what came after."""
