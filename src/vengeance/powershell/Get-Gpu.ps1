# Reads the NVIDIA cards, as their driver sees them. Changes nothing.
#
# in:   {}
# out:  {"gpus": [{"name": "NVIDIA GeForce RTX 4090", "driver_version": "591.86", "memory_mib": 24564,
#        "memory_used_mib": 1893, "memory_free_mib": 22238, "driver_model": "WDDM"}], "failure": null}
#       memory_free_mib: what a program can still get; the driver keeps some for itself, so it is less than the rest
#       driver_model: WDDM, TCC or MCDM; WSL sees no card in TCC mode (microsoft/WSL#11865)
#       gpus: [] with the reason in failure when there is no driver, or it sees no card
#
# WMI cannot be asked: Win32_VideoController counts no more than 4 GB. The driver puts nvidia-smi.exe into System32; 9 is
# its code for a driver that is not loaded, 6 for no card.
# https://docs.nvidia.com/deploy/nvidia-smi/index.html (--query-gpu, RETURN VALUE)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$gpus = @()
$failure = $null
$program = "$env:SystemRoot\System32\nvidia-smi.exe"
if (-not [System.IO.File]::Exists($program)) { $failure = "$program is not there" }
else {
    $query = '--query-gpu=name,driver_version,memory.total,memory.used,memory.free,driver_model.current --format=csv,noheader,nounits'
    $start = [System.Diagnostics.ProcessStartInfo]::new($program, $query)
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $process = [System.Diagnostics.Process]::Start($start)
    $output = $process.StandardOutput.ReadToEndAsync()
    $complaint = $process.StandardError.ReadToEndAsync()
    # It is known to hang when the driver does.
    if (-not $process.WaitForExit(60000)) {
        $process.Kill()
        $failure = 'nvidia-smi.exe gave no answer within 60 seconds'
    }
    elseif ($process.ExitCode -ne 0) {
        $failure = "nvidia-smi.exe ended with $($process.ExitCode): $($output.Result.Trim()) $($complaint.Result.Trim())".Trim()
    }
    else {
        foreach ($line in $output.Result.Split([char] 10)) {
            $words = @($line.Trim() -split ', ')
            if ($words.Count -eq 6) {
                $gpus += [ordered] @{
                    name = $words[0]
                    driver_version = $words[1]
                    memory_mib = [long] $words[2]
                    memory_used_mib = [long] $words[3]
                    memory_free_mib = [long] $words[4]
                    driver_model = $words[5]
                }
            }
        }
        if ($gpus.Count -eq 0) { $failure = 'nvidia-smi.exe lists no card' }
    }
}

$answer = [ordered] @{ gpus = $gpus; failure = $failure }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
