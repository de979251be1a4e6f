"""Confusion matrices and reports by scikit-learn and pandas, as CSV, for label lists from stdin."""

import json
import sys

import pandas as pd
from sklearn.metrics import classification_report, confusion_matrix

results = []
for names, truth, predicted in json.load(open(sys.argv[1])):
    labels = range(len(names))
    matrix = confusion_matrix(truth, predicted, labels=labels)
    report = classification_report(
        truth, predicted, labels=labels, target_names=names, output_dict=True, zero_division=0
    )
    predictions = {"index": range(len(truth)), "y_true": truth, "y_pred": predicted}
    results.append(
        {
            "confusion_matrix": pd.DataFrame(matrix, index=names, columns=names).to_csv(),
            "classification_report": pd.DataFrame(report).T.to_csv(),
            "predictions": pd.DataFrame(predictions).to_csv(index=False),
        }
    )
print(json.dumps(results))
